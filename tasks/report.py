def run(cfg): return 0.0
