"""Losses that performance predictors are trained under."""
