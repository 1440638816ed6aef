"""The report of a comparison: tables in three formats, figures, one HTML page, one Markdown page."""
