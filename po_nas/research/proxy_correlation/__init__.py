"""How well proxies order the architectures of benchmarks: rank correlations, by task and stratum."""
