"""The study of fusion: what the best use of proxies could gain over the models as they are."""
