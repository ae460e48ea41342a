"""What tasks cost: added up beside the scheduler, in the forecaster's process."""
