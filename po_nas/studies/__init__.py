"""Many runs compared, with statistics one may publish."""
