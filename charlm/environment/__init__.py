"""The process and the machine that charlm runs on."""
