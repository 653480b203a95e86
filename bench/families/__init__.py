"""One module a family of figures; each has `run(context)`."""
