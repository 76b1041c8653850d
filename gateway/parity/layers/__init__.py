"""What parity is made of: one module per layer, each a pure function and its result."""
