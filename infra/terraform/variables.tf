variable "name" {
  description = "Prefix of everything that is made; bucket names are unique world-wide, so choose your own."
  type        = string
  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{2,30}$", var.name))
    error_message = "name: 3 to 31 lower-case letters, digits and hyphens, beginning with a letter."
  }
}

variable "vpc_id" {
  description = "Network of the cluster and the database."
  type        = string
}

variable "make_database" {
  description = "Make the PostgreSQL here. Off when the studio uses one that exists (version 14 or newer, TLS only)."
  type        = bool
  default     = true
}

variable "database_subnet_ids" {
  description = "Private subnets of the database, in at least two availability zones."
  type        = list(string)
  validation {
    condition     = length(var.database_subnet_ids) >= 2
    error_message = "database_subnet_ids: at least two, in different availability zones."
  }
}

variable "control_plane_security_group_id" {
  description = "Security group of the nodes that run Airflow: the only ones that reach the database."
  type        = string
}

variable "cluster_oidc_provider_arn" {
  description = "IAM OIDC provider of the Kubernetes cluster (IRSA)."
  type        = string
}

variable "cluster_oidc_issuer" {
  description = "Issuer of that provider without https://."
  type        = string
  validation {
    condition     = !startswith(var.cluster_oidc_issuer, "https://")
    error_message = "cluster_oidc_issuer: leave https:// away."
  }
}

variable "control_plane_service_account" {
  description = "namespace:name of the service account Airflow's own pods run as."
  type        = string
  default     = "memorial:memorial-airflow"
}

variable "gate_service_account" {
  description = "namespace:name of the service account the link gate runs as."
  type        = string
  default     = "memorial:memorial-gate"
}

variable "auditor_principals" {
  description = "ARNs of the people or roles that may read checkpoints; best in another account."
  type        = list(string)
  default     = []
}

variable "database_instance_class" {
  type    = string
  default = "db.m7g.large"
}

variable "database_multi_az" {
  description = "A standby in a second zone. Leave it on for a studio that promises dates."
  type        = bool
  default     = true
}

variable "database_backup_days" {
  description = <<-EOT
    Point-in-time recovery of the database. Backups of the wrapped data keys must expire within the time promised for
    erasures (they live in the keyring, not here), so this may be longer than that promise.
  EOT
  type        = number
  default     = 14
  validation {
    condition     = var.database_backup_days >= 7 && var.database_backup_days <= 35
    error_message = "database_backup_days: 7 to 35."
  }
}

variable "checkpoint_retention_days" {
  description = "How long a checkpoint can be deleted by nobody (Object Lock, compliance mode)."
  type        = number
  default     = 1095
  validation {
    condition     = var.checkpoint_retention_days >= 180
    error_message = "checkpoint_retention_days: at least 180; label logs are kept six months."
  }
}

variable "noncurrent_days" {
  description = "How long an overwritten or deleted object of the vault is kept as an old version."
  type        = number
  default     = 7
  validation {
    condition     = var.noncurrent_days >= 1 && var.noncurrent_days <= 30
    error_message = "noncurrent_days: 1 to 30; old versions are copies an erasure has to reach."
  }
}

variable "presigned_seconds" {
  description = "Oldest signature the delivery bucket accepts; the studio's own links are good for five minutes."
  type        = number
  default     = 300
}

variable "protect" {
  description = "Refuse to delete the database and to empty buckets. Off only for a trial that is thrown away."
  type        = bool
  default     = true
}
