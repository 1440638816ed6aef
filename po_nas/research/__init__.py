"""Studies of parts of the framework, by subject, each with its run and its report."""
