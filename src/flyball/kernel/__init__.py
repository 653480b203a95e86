"""What every room may use: ids, clocks, secrets, errors. Imports nothing of Flyball."""
