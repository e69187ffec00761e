"""What survives the end of the process, whatever that is: kept on disk until the run has it for sure."""
