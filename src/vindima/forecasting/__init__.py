"""From yearly prices to forecasts with measured uncertainty."""
