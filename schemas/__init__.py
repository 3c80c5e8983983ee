"""What the data is: Arrow schemas, configs, reports, errors and the files they live in."""
