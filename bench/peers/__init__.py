"""Other systems' scaling rules, each as it is documented."""
