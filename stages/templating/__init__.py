"""What ``templates`` asks and answers: a module a kind, over what captions and boxes settle."""
