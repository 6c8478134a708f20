"""Who is served by whose signal: relative rates of change, lattices, orders, and how sure they are."""
