-- Beside the server's first database, `alnico`, which is Prefect's; read once, when the volume is made.
CREATE DATABASE mlflow;
CREATE DATABASE labels;
