"""What is checked before a study does any work: everything at once, so that all faults are reported together."""
