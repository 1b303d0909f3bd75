"""Never spend more than the cap."""
