"""How ``download`` makes sound images of what came: in child processes that may crash, hang or balloon."""
