"""What a person does or asks, for the command line, the API and the pages alike."""
