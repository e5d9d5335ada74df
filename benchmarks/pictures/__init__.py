"""What `benchmarks/metric_pictures.py` draws: a good and a bad case of every metric."""
