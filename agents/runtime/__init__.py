"""What makes a pure decision an agent: what it sees, how it is carried out, recorded, verified and repeated."""
