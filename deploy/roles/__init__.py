"""What each role's machine gets, as steps that look first and change what differs (deploy/steps.py)."""
