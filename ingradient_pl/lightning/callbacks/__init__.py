"""What happens beside training: pictures, time, averages."""
