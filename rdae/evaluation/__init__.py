"""Rate-distortion evaluation: codecs, metrics, BD-rates, a runner, plots and a report."""
