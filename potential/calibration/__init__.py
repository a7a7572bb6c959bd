"""From a committee's disagreement to the force error to expect, and how well that holds. Free of torch."""
