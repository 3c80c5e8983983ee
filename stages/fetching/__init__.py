"""How ``download`` asks the web: bounded in time and bytes, polite, with consent, closed to private addresses."""
