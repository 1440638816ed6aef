"""The study of losses: predictors trained under each loss, by number of training architectures."""
