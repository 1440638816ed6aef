"""The command line: one thin module per verb. Nothing heavy is imported until a command runs."""
