variable "environment" {
  description = "Name of the environment; part of the alias and of the names in IAM."
  type        = string

  validation {
    condition     = can(regex("^[a-z0-9-]{1,32}$", var.environment))
    error_message = "environment must be 1 to 32 lower-case letters, digits or dashes."
  }
}

variable "role_name" {
  description = "IAM role that the sidecar runs under; the policy is attached to it. Empty: attach iam_policy_arn yourself."
  type        = string
  default     = ""
}

variable "administrator_arns" {
  description = "Principals that may manage the key and not use it. Empty: whoever IAM policies of the account allow to."
  type        = list(string)
  default     = []

  validation {
    condition     = alltrue([for arn in var.administrator_arns : can(regex("^arn:[a-z0-9-]+:iam::[0-9]{12}:", arn))])
    error_message = "administrator_arns must be ARNs of IAM principals."
  }
}

variable "tenant_ids" {
  description = "Tenants whose keys the role may use, besides default_tenant. Empty: every tenant."
  type        = list(string)
  default     = []
}

variable "default_tenant" {
  description = "The sidecar's tenants.default. Validation calls KMS in its name, so it is always among the tenants allowed."
  type        = string
  default     = "default"
}

variable "multi_region" {
  description = "Make a multi-Region key, which can have replicas for kms.replicas. Cannot be changed later."
  type        = bool
  default     = false
}

variable "rotation_period_days" {
  description = "How often AWS renews the key material. Old material stays, so nothing has to be wrapped again."
  type        = number
  default     = 90

  validation {
    condition     = var.rotation_period_days >= 90 && var.rotation_period_days <= 2560
    error_message = "rotation_period_days must be 90 to 2560."
  }
}

variable "deletion_window_days" {
  description = "Days between the order to delete the key and its end. With the key goes everything ever sealed under it."
  type        = number
  default     = 30

  validation {
    condition     = var.deletion_window_days >= 7 && var.deletion_window_days <= 30
    error_message = "deletion_window_days must be 7 to 30."
  }
}

variable "checkpoint_signing_key" {
  description = "Also make an asymmetric key for checkpoints that are signed inside KMS: none, ECC_NIST_P256 or ECC_NIST_EDWARDS25519."
  type        = string
  default     = "none"

  validation {
    condition     = contains(["none", "ECC_NIST_P256", "ECC_NIST_EDWARDS25519"], var.checkpoint_signing_key)
    error_message = "checkpoint_signing_key must be none, ECC_NIST_P256 or ECC_NIST_EDWARDS25519."
  }
}

variable "tags" {
  description = "Tags of every resource."
  type        = map(string)
  default     = {}
}
