"""How good the imputation is: the datasets, the methods, and one module for each experiment (``benchmarks/bench.py``).

An experiment module offers ``tasks(options)``, what there is to do, and ``run(task)``, which does it in a worker
process and returns records.
"""
