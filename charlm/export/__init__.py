"""Write a trained network in forms that work without charlm."""
