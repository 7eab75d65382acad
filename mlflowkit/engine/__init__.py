"""The engine: owns runs, asks the brain, saves, and then has it carried out. Never runs user code."""
