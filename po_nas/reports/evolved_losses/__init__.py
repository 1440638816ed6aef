"""Reports of evolutions of losses."""
