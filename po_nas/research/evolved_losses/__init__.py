"""Evolution of classification losses: small graphs over the true and the predicted probability of every class.

`run.evolve_loss` does the whole of it: random graphs pass integrity checks that cost microseconds, short trainings
screen them, regularised evolution improves them, elimination rounds of growing regularisation pick few, and a final
comparison trains these beside known losses. After Morgan and Hougen, arXiv 2403.08793, with the repairs that
docs/evolved_losses.md names.
"""
