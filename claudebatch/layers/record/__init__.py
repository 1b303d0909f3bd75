"""Nothing is sent that is not written down first."""
