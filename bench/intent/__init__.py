"""How well profiles hold work to its intent: public suites replayed through the real decision plane."""
