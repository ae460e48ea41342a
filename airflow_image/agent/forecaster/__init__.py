"""The process beside the scheduler that forecasts the slots that scheduled runs will need."""
