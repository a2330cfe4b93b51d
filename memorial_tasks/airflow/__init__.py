"""The only room that imports Airflow. Nothing here imports a heavy library at module level."""
