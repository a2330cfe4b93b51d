resource "aws_db_subnet_group" "this" {
  name       = var.name
  subnet_ids = var.database_subnet_ids
}

resource "aws_security_group" "database" {
  name        = "${var.name}-database"
  description = "PostgreSQL of ${var.name}: from the control plane only, nothing outward"
  vpc_id      = var.vpc_id
}

resource "aws_vpc_security_group_ingress_rule" "database" {
  security_group_id            = aws_security_group.database.id
  description                  = "Airflow's nodes"
  referenced_security_group_id = var.control_plane_security_group_id
  from_port                    = 5432
  to_port                      = 5432
  ip_protocol                  = "tcp"
}

resource "aws_db_parameter_group" "this" {
  name        = "${var.name}-postgres18"
  family      = "postgres18"
  description = "TLS for everybody; statements without their values in the log"
  parameter {
    name  = "rds.force_ssl"
    value = "1"
  }
  parameter {
    name  = "log_min_duration_statement"
    value = "2000"
  }
  parameter {
    name  = "log_parameter_max_length" # statements carry sealed bytes and ids: their values stay out of the log
    value = "0"
  }
  parameter {
    name  = "log_parameter_max_length_on_error"
    value = "0"
  }
}

resource "aws_db_instance" "this" {
  count                        = var.make_database ? 1 : 0
  identifier                   = var.name
  engine                       = "postgres"
  engine_version               = "18"
  instance_class               = var.database_instance_class
  multi_az                     = var.database_multi_az
  allocated_storage            = 50
  max_allocated_storage        = 500
  storage_type                 = "gp3"
  storage_encrypted            = true
  kms_key_id                   = aws_kms_key.this["database"].arn
  db_name                      = "memorial"
  username                     = "memorial_admin" # migrations only; the studio's own logins are members of its roles
  manage_master_user_password  = true
  db_subnet_group_name         = aws_db_subnet_group.this.name
  vpc_security_group_ids       = [aws_security_group.database.id]
  parameter_group_name         = aws_db_parameter_group.this.name
  publicly_accessible          = false
  backup_retention_period      = var.database_backup_days
  backup_window                = "10:00-11:00" # the night belongs to the batch
  maintenance_window           = "sun:11:30-sun:12:30"
  copy_tags_to_snapshot        = true
  auto_minor_version_upgrade   = true
  deletion_protection          = var.protect
  skip_final_snapshot          = !var.protect
  final_snapshot_identifier    = var.protect ? "${var.name}-final" : null
  performance_insights_enabled = false # it would keep statement texts outside
  apply_immediately            = false
}
