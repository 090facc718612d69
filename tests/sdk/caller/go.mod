module caller

go 1.19

require a3mailer.internal/sdk v0.0.0

replace a3mailer.internal/sdk => ../../../sdk/go
