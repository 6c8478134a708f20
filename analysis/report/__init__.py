"""The report page: what it says and shows."""
