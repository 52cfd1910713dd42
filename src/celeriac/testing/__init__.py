"""Public test helpers: conformance suites for the ports, a clock that tests move."""
