"""OpenID Connect providers, which people sign in with and machines have tokens of."""
