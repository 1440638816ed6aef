"""The study of evolved metrics as tables, figures and a page."""
