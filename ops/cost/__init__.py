"""What a month of a stack costs, from its template and its parameters."""
