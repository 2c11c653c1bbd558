"""What a deployed cluster must show, beyond that it answers: `fab rehearse` runs these checks on the fleet."""
