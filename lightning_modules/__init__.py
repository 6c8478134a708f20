"""What Lightning trains or evaluates: one module per step of a method."""
