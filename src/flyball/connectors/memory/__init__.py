"""A target that lives in this process: for tests and for trying Flyball out, never for production."""
