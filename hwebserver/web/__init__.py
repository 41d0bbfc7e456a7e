"""What a handler sees: requests, responses, routes, pages. No socket calls in here."""
